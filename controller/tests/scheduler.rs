//! Border: what the planner thinks of the scheduler, held against the real kube-scheduler. Nodes are written by the test; nothing runs
//! on them.

mod scheduler {
    #[path = "../../core/tests/world/dice.rs"]
    mod dice;
    mod fit;
    mod generate;
    mod world;
}
