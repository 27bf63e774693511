"""Which process reads which partition; a matter of economy, never of correctness."""
