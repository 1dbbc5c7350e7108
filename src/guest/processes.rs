//! The machine's processes, as /proc has them.

/// What is asked of a process here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) parent: u32,
    pub(crate) session: u32,
}

/// All that have not ended. None where there is no /proc.
pub(crate) fn processes() -> impl Iterator<Item = (u32, Process)> {
    std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, process(&String::from_utf8_lossy(&stat))?))
    })
}

/// `7 (a name) S 1 7 7 …`: state, parent, group, session. `None` for what has ended already.
fn process(stat: &str) -> Option<Process> {
    let words: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().take(4).collect();
    let [state, parent, _, session] = words[..] else { return None };
    (!matches!(state, "Z" | "X")).then_some(Process { parent: parent.parse().ok()?, session: session.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_program_is_called() {
        assert_eq!(process("7 (a) b) S 1 8 9 0 -1"), Some(Process { parent: 1, session: 9 }));
        assert_eq!(process("7 (sh) Z 1 8 9 0 -1"), None);
        assert_eq!(process("7 (sh"), None);
        assert!(processes().any(|(pid, _)| pid == std::process::id()));
    }
}
