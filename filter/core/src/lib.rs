//! The recorder behind the filter.
