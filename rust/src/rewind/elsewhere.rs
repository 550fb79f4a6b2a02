//! Stands for the engine where there is none: it needs Linux on x86-64 or arm64.

pub(crate) mod engine {
    const REASON: &str = "rewinding needs Linux on x86-64 or arm64";

    /// As the refusal of the real engine.
    pub struct Refusal;

    impl Refusal {
        pub fn message(&self) -> String {
            REASON.to_owned()
        }
    }

    pub fn engine_named(name: &str) -> Option<()> {
        ["auto", "userfaultfd", "pagemap"].contains(&name).then_some(())
    }

    /// The name of no process, because no snapshot is taken.
    pub fn snapshot_name() -> &'static str {
        "no snapshot process"
    }

    pub fn create(_wanted: (), _store_limit: usize, _has_sibling: bool) -> Result<(), String> {
        Err(REASON.to_owned())
    }

    pub fn snapshot(_may_fall_back: bool) -> Result<isize, Refusal> {
        Err(Refusal)
    }

    pub fn rewind(_must_verify: bool) -> Refusal {
        Refusal
    }

    pub fn engine_in_use() -> &'static str {
        ""
    }

    pub fn snapshot_pid() -> i32 {
        0
    }

    pub fn statistics() -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    pub fn self_test(_wanted: ()) -> Option<String> {
        Some(REASON.to_owned())
    }
}
