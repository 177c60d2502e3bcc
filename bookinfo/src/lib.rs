//! The sample application: productpage, details, reviews v1 to v3, ratings.
