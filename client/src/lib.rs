//! Typed list, watch and CRUD against the config API.
