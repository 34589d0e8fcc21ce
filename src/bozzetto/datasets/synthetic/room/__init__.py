"""What the furnished room is made of: materials, panels, furniture, light, and how a lens sees it."""
