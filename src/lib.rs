//! Doorward: a zero-trust, identity-aware reverse proxy.
