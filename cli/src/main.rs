//! One binary, many roles: a service mesh without Kubernetes.

fn main() {}
