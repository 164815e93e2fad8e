//! x
pub(crate) fn main() -> std::io::Result<()> {
    Ok(())
}
