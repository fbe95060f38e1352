"""headrace in the terms of other libraries; each module needs the one that it is for."""
