"""The look of charts, tables and pages."""
