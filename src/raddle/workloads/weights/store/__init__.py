"""What stays: state and audit trail in SQLite, results as Parquet or JSON, and the parts that workers leave."""
