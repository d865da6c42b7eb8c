/// Every client's debt, in memory that does not grow.
#[derive(Debug, Default)]
pub struct Buckets {}
