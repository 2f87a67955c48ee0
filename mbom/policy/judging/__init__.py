"""What the keys of a policy say of a case: one module for each kind of question, each yielding reasons."""
