"""What is proposed and solved: roles, task types, tasks, and the buffers that keep them."""
