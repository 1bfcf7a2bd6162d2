//! QUIC links, the guard and capability actors, the audit writer and routing.

pub mod audit;
