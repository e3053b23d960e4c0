package filing

// SetWalkBudget is how many of all entries one Trim looks at.
func (f *Filer) SetWalkBudget(n int) { f.walkBudget = n }
