use super::{Quality, Scalar, Timestamp};

/// A value of a variable as it was at a time.
#[derive(Clone, PartialEq, Debug)]
pub struct Historic {
    /// Source time.
    pub time: Timestamp,
    /// `None` where the quality is Bad.
    pub value: Option<Scalar>,
    pub quality: Quality,
}

/// From which end of a range of time values are taken.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum End {
    Oldest,
    Newest,
}
