"""Pictures of faces and who is on them."""
