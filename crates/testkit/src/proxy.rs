//! A wire that can fail: a TCP proxy between a client and a server on this machine.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How the wire is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wire {
    /// What is sent arrives at once.
    #[default]
    Whole,
    /// Connections break, and new ones with them.
    Cut,
    /// Connections stay and nothing passes, as when packets are dropped; when the wire is whole again what was held arrives.
    Silent,
    /// Half open: what the client sends arrives, answers do not.
    Deaf,
    /// All that is sent arrives so much later.
    Slow(Duration),
    /// So many bytes pass a second, each way.
    Narrow(usize),
}

impl Wire {
    fn passes(self, way: Way) -> bool {
        match self {
            Self::Whole | Self::Slow(_) | Self::Narrow(_) => true,
            Self::Deaf => way == Way::There,
            Self::Cut | Self::Silent => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From client to server.
    There,
    Back,
}

/// Bytes that are taken off a connection at a time.
const PIECE: usize = 16 << 10;

/// Takes connections on a port of 127.0.0.1 and passes them on to another. Gone when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    wire: watch::Sender<Wire>,
    _running: DropGuard,
}

impl Proxy {
    /// Starts it on a free port, before the server at port `to` if need be.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(to: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let wire = watch::Sender::new(Wire::Whole);
        let (running, state) = (CancellationToken::new(), wire.clone());
        let over = running.clone();
        tokio::spawn(over.clone().run_until_cancelled_owned(async move {
            loop {
                // An accept fails when the process has no descriptors left: those of broken connections come back.
                let Ok((client, _)) = listener.accept().await else {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let passing = pass(client, to, state.subscribe());
                tokio::spawn(over.child_token().run_until_cancelled_owned(passing));
            }
        }));
        Ok(Self { port, wire, _running: running.drop_guard() })
    }

    /// Where it takes connections.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the wire, also under the connections that are there.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

/// One connection, until either end or the wire breaks it.
async fn pass(client: TcpStream, to: u16, wire: watch::Receiver<Wire>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = wire.clone();
    tokio::select! {
        () = pump(from_client, to_server, Way::There, wire.clone()) => {}
        () = pump(from_server, to_client, Way::Back, wire) => {}
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, mut wire: watch::Receiver<Wire>) {
    let mut bytes = vec![0; PIECE];
    loop {
        // Who is not heard is not read: its buffers fill up, as on a wire.
        let Ok(now) = wire.wait_for(|wire| wire.passes(way)).await.map(|wire| *wire) else { return };
        let most = if let Wire::Narrow(rate) = now { (rate / 10).clamp(1, PIECE) } else { PIECE };
        let read = tokio::select! {
            read = from.read(&mut bytes[..most]) => read,
            changed = wire.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok(length @ 1..) = read else { return };
        match now {
            Wire::Slow(delay) => sleep(delay).await,
            Wire::Narrow(rate) => sleep(Duration::from_secs_f64(length as f64 / rate as f64)).await,
            _ => {}
        }
        if wire.wait_for(|wire| wire.passes(way)).await.is_err()
            || to.write_all(&bytes[..length]).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo behind a proxy, and a connection to it.
    async fn echo() -> (Proxy, TcpStream) {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap().port()).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        (proxy, client)
    }

    async fn answer(client: &mut TcpStream, word: &[u8; 4]) -> std::io::Result<[u8; 4]> {
        client.write_all(word).await?;
        let mut answer = [0; 4];
        client.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_silent_wire_holds_what_is_sent_until_it_is_whole_again() {
        let (proxy, mut client) = echo().await;
        assert_eq!(answer(&mut client, b"here").await.unwrap(), *b"here");
        for wire in [Wire::Silent, Wire::Deaf] {
            proxy.set(wire);
            let unheard =
                tokio::time::timeout(Duration::from_millis(200), answer(&mut client, b"held")).await;
            assert!(unheard.is_err(), "{wire:?} answered");
            proxy.set(Wire::Whole);
            let mut late = [0; 4];
            client.read_exact(&mut late).await.unwrap();
            assert_eq!(late, *b"held");
        }
    }

    #[tokio::test]
    async fn a_cut_wire_breaks_connections_and_takes_no_new_ones() {
        let (proxy, mut client) = echo().await;
        assert_eq!(answer(&mut client, b"here").await.unwrap(), *b"here");
        proxy.set(Wire::Cut);
        assert_eq!(client.read(&mut [0; 4]).await.unwrap_or(0), 0, "the connection lives on");
        let mut another = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        assert!(answer(&mut another, b"gone").await.is_err());
        proxy.set(Wire::Whole);
        let mut another = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        assert_eq!(answer(&mut another, b"back").await.unwrap(), *b"back");
    }

    #[tokio::test]
    async fn a_slow_and_a_narrow_wire_take_their_time() {
        let (proxy, mut client) = echo().await;
        proxy.set(Wire::Slow(Duration::from_millis(100)));
        let begun = std::time::Instant::now();
        answer(&mut client, b"slow").await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(200), "there and back");
        proxy.set(Wire::Narrow(20));
        let begun = std::time::Instant::now();
        answer(&mut client, b"thin").await.unwrap();
        assert!(
            begun.elapsed() >= Duration::from_millis(300),
            "4 bytes at 20 a second, and the last 2 of them back"
        );
    }
}
