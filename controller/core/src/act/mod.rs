//! Plan to ordered, guarded steps and their undo; pure half of act.
