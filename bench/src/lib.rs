//! Peers side by side: CPU per request, latency, memory, convergence.
