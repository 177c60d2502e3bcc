//! The config API server: journal, store, history, Kubernetes-style REST surface.
