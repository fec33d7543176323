//! Ask: HTTP over the daemon's unix socket.
