//! A PLC that is as fast as it can be: holding registers, of which each request sees how many times it was made.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Request, Response};

/// Requests so far, by the first register and their number.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<HashMap<(u16, u16), u16>>>);

impl Service for Counts {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let Request::ReadHoldingRegisters(address, count) = request else { return ready(Err(ExceptionCode::IllegalFunction)) };
        let mut counts = self.0.lock().expect("no panic before");
        let reads = counts.entry((address, count)).or_default();
        *reads = reads.wrapping_add(1);
        ready(Ok(Response::ReadHoldingRegisters(vec![*reads; usize::from(count)])))
    }
}

/// Prints its port, then serves for ever.
pub async fn serve() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    println!("{}", listener.local_addr().expect("its address").port());
    let counts = Counts::default();
    let on_connected = |stream, peer: SocketAddr| {
        let counts = counts.clone();
        async move { accept_tcp_connection(stream, peer, |_| Ok(Some(counts.clone()))) }
    };
    Server::new(listener).serve(&on_connected, |error| eprintln!("plc: {error}")).await.expect("the PLC serves");
}
