//! Ports for one world: a block of sixteen below the range that the system takes for outgoing connections. In: nothing. Out: a
//! block that no other world has. Must never give out a block twice: the proxy's listeners share ports, and would answer for
//! another world.

use std::net::{Ipv4Addr, TcpListener};

const FIRST: u16 = 25_000;
const BLOCKS: u16 = 370;

/// A block of ports, held by a listener on its first.
pub(crate) struct Ports {
    first: u16,
    _held: TcpListener,
}

impl Ports {
    pub(crate) fn take() -> Self {
        for _ in 0..200 {
            let random = u16::from_ne_bytes(doorward::model::secret::random::<2>().unwrap());
            let first = FIRST + random % BLOCKS * 16;
            let Ok(held) = TcpListener::bind((Ipv4Addr::LOCALHOST, first)) else { continue };
            if (1..16).all(|offset| TcpListener::bind((Ipv4Addr::LOCALHOST, first + offset)).is_ok()) {
                return Self { first, _held: held };
            }
        }
        panic!("no free ports");
    }

    /// One of a block that is nobody's world, from 1 to 15.
    pub(crate) fn nth(&self, offset: u16) -> u16 {
        self.first + offset
    }

    /// The public origin of a host.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.https())
    }

    pub(crate) fn https(&self) -> u16 {
        self.first + 1
    }

    pub(crate) fn http(&self) -> u16 {
        self.first + 2
    }

    pub(crate) fn admin(&self) -> u16 {
        self.first + 3
    }

    /// The gateway of the provider `staff`, which is its issuer.
    pub(crate) fn staff(&self) -> u16 {
        self.first + 4
    }

    pub(crate) fn staff_behind(&self) -> u16 {
        self.first + 5
    }

    pub(crate) fn partners(&self) -> u16 {
        self.first + 6
    }

    pub(crate) fn partners_behind(&self) -> u16 {
        self.first + 7
    }

    pub(crate) fn app(&self) -> u16 {
        self.first + 8
    }

    pub(crate) fn rough(&self) -> u16 {
        self.first + 9
    }

    /// Where nobody listens.
    pub(crate) fn nowhere(&self) -> u16 {
        self.first + 10
    }

    /// For an admin listener after a restart: the process ends before it lets go of the first.
    pub(crate) fn second_admin(&self) -> u16 {
        self.first + 11
    }

    pub(crate) fn tape(&self) -> u16 {
        self.first + 12
    }
}
