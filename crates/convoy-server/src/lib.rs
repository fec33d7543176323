//! Answer: the engine's verbs over HTTP on a unix socket.
