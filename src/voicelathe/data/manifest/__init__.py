"""Raw manifests of every form, read, imported and exported."""
