//! The open channels of one connection, and what comes in on them.
//!
//! russh's own queue of a channel is not used: it stops the whole connection when it is full (see `transport`).

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::server::Msg;
use russh::{ChannelId, ChannelWriteHalf};
use rustix::process::Signal;
use rustix::termios::Winsize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};

use super::limits::CHANNELS;
use super::transport::Gate;

/// What a piece of input costs besides its bytes: a client may send them one by one.
const PIECE: usize = 128;
/// Words that wait for a session. More come only from a client that wants nothing good, or before there is anybody to hear them.
const WORDS: usize = 64;

/// What else a client says on a channel. It overtakes the data.
pub(crate) enum Word {
    Signal(Signal),
    Resize(Winsize),
}

/// The end of a channel that the connection feeds. Dropped when the client has closed the channel or is gone.
pub(crate) struct Feed {
    data: UnboundedSender<Option<Vec<u8>>>,
    words: Sender<Word>,
    gate: Arc<Gate>,
    /// The client has said that it sends no more.
    ended: Cell<bool>,
}

impl Feed {
    pub(crate) fn data(&self, bytes: &[u8]) {
        if !bytes.is_empty() && !self.ended.get() {
            self.gate.queue(bytes.len() + PIECE);
            if self.data.send(Some(bytes.to_vec())).is_err() {
                self.gate.unqueue(bytes.len() + PIECE);
            }
        }
    }

    pub(crate) fn end(&self) {
        if !self.ended.replace(true) {
            let _ = self.data.send(None);
        }
    }

    pub(crate) fn word(&self, word: Word) {
        let _ = self.words.try_send(word);
    }
}

/// What a client sends on a channel.
pub(crate) struct Input {
    data: UnboundedReceiver<Option<Vec<u8>>>,
    gate: Arc<Gate>,
}

impl Input {
    /// `None`: the client sends no more.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        let bytes = self.data.recv().await.flatten()?;
        self.gate.unqueue(bytes.len() + PIECE);
        Some(bytes)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.data.close();
        while let Ok(bytes) = self.data.try_recv() {
            self.gate.unqueue(bytes.map_or(0, |bytes| bytes.len() + PIECE));
        }
    }
}

/// What a client says on a channel; its end is the channel's.
pub(crate) type Words = Receiver<Word>;

pub(crate) fn feed(gate: &Arc<Gate>) -> (Feed, Input, Words) {
    let (data, input) = unbounded_channel();
    let (words, said) = channel(WORDS);
    (Feed { data, words, gate: Arc::clone(gate), ended: Cell::new(false) }, Input { data: input, gate: Arc::clone(gate) }, said)
}

/// What goes out on a channel, as fast as the client takes it.
pub(crate) struct Output {
    pub(crate) half: ChannelWriteHalf<Msg>,
    pub(crate) gate: Arc<Gate>,
}

impl Output {
    /// Data, or with `Some(1)` what belongs to standard error. `false`: nobody takes it any more.
    pub(crate) async fn send(&self, kind: Option<u32>, data: Vec<u8>) -> bool {
        let fits = self.half.writable_packet_size().await >= data.len();
        let starving = (!fits).then(|| self.gate.starve());
        let sent = match kind {
            None => self.half.data_bytes(data).await,
            Some(kind) => self.half.extended_data_bytes(kind, data).await,
        };
        drop(starving);
        sent.is_ok()
    }
}

/// From the client into whatever takes it; then its end. An error is the end of what takes it, which others see.
pub(crate) async fn pour(input: &mut Input, into: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    while let Some(bytes) = input.next().await {
        into.write_all(&bytes).await?;
        into.flush().await?;
    }
    into.shutdown().await
}

/// All channels of a connection, with what they are to the one that opened them.
pub(crate) struct Channels<T>(Mutex<HashMap<ChannelId, Channel<T>>>);

struct Channel<T> {
    feed: Feed,
    more: Option<T>,
}

impl<T> Default for Channels<T> {
    fn default() -> Self {
        Channels(Mutex::default())
    }
}

impl<T> Channels<T> {
    fn map(&self) -> MutexGuard<'_, HashMap<ChannelId, Channel<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn full(&self) -> bool {
        self.map().len() >= CHANNELS
    }

    pub(crate) fn insert(&self, id: ChannelId, feed: Feed, more: Option<T>) {
        self.map().insert(id, Channel { feed, more });
    }

    pub(crate) fn remove(&self, id: ChannelId) {
        // Outside of the lock: what is dropped may take it.
        let gone = self.map().remove(&id);
        drop(gone);
    }

    /// Everything ends with the connection.
    pub(crate) fn clear(&self) {
        let gone = std::mem::take(&mut *self.map());
        drop(gone);
    }

    pub(crate) fn feed(&self, id: ChannelId, act: impl FnOnce(&Feed)) {
        if let Some(channel) = self.map().get(&id) {
            act(&channel.feed);
        }
    }

    /// What is still to be done with a channel, to look at and change.
    pub(crate) fn with<R>(&self, id: ChannelId, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.map().get_mut(&id).and_then(|channel| channel.more.as_mut()).map(act)
    }

    pub(crate) fn take(&self, id: ChannelId) -> Option<T> {
        self.map().get_mut(&id).and_then(|channel| channel.more.take())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_waits_is_bounded_however_small_it_is() {
        let gate = Gate::new(Duration::from_secs(1), Duration::from_secs(1));
        let (tap, mut input, mut words) = feed(&gate);
        let mut pieces = 0;
        while !gate.is_full() {
            tap.data(b"x");
            pieces += 1;
        }
        assert!(pieces < 100_000, "{pieces} pieces of a byte");
        for _ in 0..1000 {
            tap.word(Word::Signal(Signal::USR1));
            tap.end();
        }
        tap.data(b"after the end");
        let mut left = pieces;
        while input.next().await.is_some() {
            left -= 1;
        }
        assert_eq!(left, 0);
        assert!(!gate.is_full());
        assert!(input.data.is_empty(), "one end, and nothing after it");
        let mut said = 0;
        while words.try_recv().is_ok() {
            said += 1;
        }
        assert_eq!(said, WORDS);
    }
}
