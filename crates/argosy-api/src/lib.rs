//! The operator API's words, and HTTP over unix sockets for client and server.
