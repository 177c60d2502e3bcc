//! Whole-mesh stories.
