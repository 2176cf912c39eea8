"""What several tests share and no fixture gives."""
