"""Report pages: sections, rendering and publishing."""
