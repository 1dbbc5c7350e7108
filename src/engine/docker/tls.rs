//! TLS to an engine: who it has to be, who we are, and what went wrong, in words.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::dial::Stream;
use super::error::Failure;
use crate::engine::{EngineErrorKind as Kind, Tls};

/// Whom a system trusts, by distribution.
const SYSTEM: [&str; 3] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

pub(super) struct Client {
    connector: TlsConnector,
    name: ServerName<'static>,
    words: Words,
}

impl Client {
    pub(super) fn new(address: &str, files: Option<&Tls>) -> Result<Self, Failure> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| way(format!("`{host}` is no name that a certificate could have"), vec![]))?;
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let config = config.map_err(|error| way(error.to_string(), vec![]))?;
        let config = match files {
            Some(files) if !files.verify => config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
            _ => config.with_root_certificates(roots(files)?),
        };
        let pair = files.map(|files| (files.cert(), files.key())).filter(|(cert, key)| cert.exists() || key.exists());
        let config = match &pair {
            None => config.with_no_client_auth(),
            Some((cert, key)) => {
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
                let done = config.with_client_auth_cert(certificates(cert)?, secret);
                let hint = format!("make both anew: `{}` and `{}` belong together", cert.display(), key.display());
                done.map_err(|error| way(format!("`{}` cannot be used with `{}`: {error}", cert.display(), key.display()), vec![hint]))?
            }
        };
        let words = Words { address: format!("tcp://{address}"), host: host.to_owned(), files: files.cloned(), has_cert: pair.is_some() };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name, words })
    }

    pub(super) async fn wrap(&self, stream: TcpStream) -> Result<Stream, Failure> {
        let stream = self.connector.connect(self.name.clone(), stream).await.map_err(|error| self.words.failure(&error))?;
        Ok(Box::new(Told { stream, words: self.words.clone() }))
    }
}

fn way(message: String, hints: Vec<String>) -> Failure {
    Failure { hints, ..Failure::new(Kind::Way, message) }
}

fn roots(files: Option<&Tls>) -> Result<RootCertStore, Failure> {
    let own = files.map(Tls::ca).filter(|ca| files.is_some_and(|files| files.own_ca) || ca.exists());
    let system = || SYSTEM.iter().map(PathBuf::from).find(|file| file.exists());
    let Some(file) = own.clone().or_else(system) else {
        let hint = "install the package ca-certificates, or name the engine's CA by a folder with `ca.pem`: `export DOCKER_CERT_PATH=…`";
        return Err(way("this system trusts nobody: it has no file of certificates".to_owned(), vec![hint.to_owned()]));
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates(&file)?);
    if added == 0 { Err(way(format!("no certificate in `{}` can be used", file.display()), vec![])) } else { Ok(store) }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match all {
        Ok(all) if all.is_empty() => Err(way(format!("no certificate is in `{}`", file.display()), vec![])),
        all => all.map_err(|error| unreadable(file, &error)),
    }
}

fn unreadable(file: &Path, error: &PemError) -> Failure {
    let why = match error {
        PemError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = file.parent().unwrap_or(file).display();
            let hint = format!("put it into `{folder}`, or name another folder: `export DOCKER_CERT_PATH=…`");
            return way(format!("TLS needs `{}`, which is not there", file.display()), vec![hint]);
        }
        PemError::Io(error) => super::error::io_words(error),
        PemError::NoItemsFound => "there is no such thing in it".to_owned(),
        _ => "it is not in the form PEM".to_owned(),
    };
    way(format!("`{}` cannot be read: {why}", file.display()), vec![])
}

/// What a person needs to know to put it right.
#[derive(Clone, Debug)]
struct Words {
    address: String,
    host: String,
    files: Option<Tls>,
    has_cert: bool,
}

impl Words {
    fn failure(&self, error: &io::Error) -> Failure {
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            let hint = "is it an engine with TLS? without it: `unset DOCKER_TLS_VERIFY`, and its port is 2375 most of the time";
            let words = super::error::io_words(error);
            return way(format!("what answers at `{}` ends the TLS handshake ({words})", self.address), vec![hint.to_owned()]);
        };
        let (what, hint) = match error {
            Error::InvalidCertificate(wrong) => self.certificate(wrong),
            Error::AlertReceived(alert) => self.alert(*alert),
            Error::InvalidMessage(_) => (
                "it does not speak TLS".to_owned(),
                "without TLS: `unset DOCKER_TLS_VERIFY`; but whoever reaches such an engine is root on its host".to_owned(),
            ),
            other => (other.to_string(), "is it an engine with TLS?".to_owned()),
        };
        way(format!("no TLS with `{}`: {what}", self.address), vec![hint])
    }

    /// What is wrong with the engine's.
    fn certificate(&self, wrong: &CertificateError) -> (String, String) {
        let renew = "renew it on the engine's host; is the clock right, there and here?".to_owned();
        match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ("the engine's certificate has expired".to_owned(), renew)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("the engine's certificate is not valid yet".to_owned(), renew)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                format!("the engine's certificate is not for `{}`", self.host),
                format!("use the name that it is for, or make it with `subjectAltName` {}", alternative(&self.host)),
            ),
            CertificateError::UnknownIssuer | CertificateError::BadSignature => match &self.files {
                Some(files) if files.ca().exists() => (
                    format!("the engine's certificate is not by the CA in `{}`", files.ca().display()),
                    "take the `ca.pem` that the engine's own certificate was made with".to_owned(),
                ),
                files => (
                    "the engine's certificate is by nobody whom this system trusts".to_owned(),
                    match files {
                        Some(files) => format!("put the engine's CA there: `{}`", files.ca().display()),
                        None => {
                            "name the folder that has the engine's `ca.pem`: `export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=…`".to_owned()
                        }
                    },
                ),
            },
            other => (format!("the engine's certificate cannot be used: {other:?}"), "make a new one on the engine's host".to_owned()),
        }
    }

    /// What the engine does not like.
    fn alert(&self, alert: AlertDescription) -> (String, String) {
        let cert = self.files.as_ref().map_or_else(|| "cert.pem".to_owned(), |files| files.cert().display().to_string());
        match alert {
            AlertDescription::CertificateExpired => (format!("the engine says that `{cert}` has expired"), "renew it".to_owned()),
            _ if !self.has_cert => (
                "the engine wants a certificate of ours".to_owned(),
                match &self.files {
                    Some(files) => format!("put `cert.pem` and `key.pem` into `{}`", files.folder.display()),
                    None => "name the folder that has `cert.pem` and `key.pem`: `export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=…`".to_owned(),
                },
            ),
            other => (
                format!("the engine refuses `{cert}` ({other:?})"),
                "it has to be by the CA that the engine has as `--tlscacert`, and for clients (`extendedKeyUsage = clientAuth`)".to_owned(),
            ),
        }
    }
}

/// What the engine thinks of our certificate comes after the handshake, when something is read.
struct Told {
    stream: TlsStream<TcpStream>,
    words: Words,
}

impl AsyncRead for Told {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        let is_alert =
            |error: &io::Error| error.get_ref().is_some_and(|inner| matches!(inner.downcast_ref(), Some(Error::AlertReceived(_))));
        Poll::Ready(read.map_err(|error| if is_alert(&error) { io::Error::other(self.words.failure(&error)) } else { error }))
    }
}

impl AsyncWrite for Told {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn alternative(host: &str) -> String {
    if host.parse::<std::net::IpAddr>().is_ok() { format!("`IP:{host}`") } else { format!("`DNS:{host}`") }
}

/// Whoever it is; but it has the key to the certificate that it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
