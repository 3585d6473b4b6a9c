//! An app that misbehaves. In: requests. Out: bytes that are not what HTTP wants, by path. Must never answer properly but where
//! a test says so.

use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Starts it.
pub(super) async fn start(port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(stream));
        }
    });
}

async fn connection(mut stream: TcpStream) {
    let mut served = 0;
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        served += 1;
        let path = String::from_utf8_lossy(&head).split([' ', '?']).nth(1).unwrap().to_owned();
        let fine = format!("HTTP/1.1 200 OK\r\nX-Served: {served}\r\nContent-Length: 4\r\n\r\nfine");
        let large = || [b"HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n".to_vec(), vec![b'x'; 4 << 20]].concat();
        let large = if path == "/large" { large() } else { Vec::new() };
        let (bytes, stay): (&[u8], bool) = match &*path {
            "/garbage" => (b"\x16\x03\x01 this is not HTTP\r\n\r\n", false),
            "/two-lengths" => (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", false),
            "/large" => (&large, true),
            "/silent" => (b"", true),
            "/hang-up" => (b"", false),
            "/half-a-head" => (b"HTTP/1.1 200 OK\r\nContent-Le", false),
            "/half-a-body" => (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", false),
            "/switch" => (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false),
            "/fine-then-close" => (fine.as_bytes(), false),
            "/only-once" if served > 1 => (b"", false),
            _ => (fine.as_bytes(), true),
        };
        drop(stream.write_all(bytes).await);
        if !stay {
            return;
        }
    }
}
