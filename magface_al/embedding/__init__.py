"""Images to embeddings, embeddings to stores and to scores of pairs."""
