//! Registry adapters: platform to catalogue of services and endpoints.
