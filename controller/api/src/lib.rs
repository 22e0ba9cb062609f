//! Huddle's Kubernetes API types.
