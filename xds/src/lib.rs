//! Envoy v3 types behind one door, and the ADS server and client as pure state machines.
