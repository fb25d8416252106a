package console

import "strings"

// column of a table. The first is that of the names and is never dropped.
type column struct {
	title string
	left  bool // aligned; numbers are not
	rank  int  // when the table is too wide, the column with the highest rank goes first
	cells []string
}

func (c *column) width() int {
	w := width(c.title)
	for _, cell := range c.cells {
		w = max(w, width(cell))
	}
	return w
}

// minName is the width that names are cut to before columns are dropped.
const minName = 16

// layOut returns the lines of a table, its titles first, that are at most room wide.
func layOut(columns []column, room int) []string {
	columns = fit(columns, room)
	lines := make([]string, len(columns[0].cells)+1)
	for i := range columns {
		c := &columns[i]
		w := c.width()
		for row := range lines {
			text := c.title
			if row > 0 {
				text = c.cells[row-1]
			}
			gap := strings.Repeat(" ", w-width(text))
			if i > 0 {
				lines[row] += "  "
			}
			if c.left {
				lines[row] += text + gap
			} else {
				lines[row] += gap + text
			}
		}
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// fit drops columns, and then cuts names, until the table is not wider than room.
func fit(columns []column, room int) []column {
	columns = append([]column(nil), columns...)
	names := &columns[0]
	for {
		others := 0
		for i := range columns[1:] {
			others += 2 + columns[1+i].width()
		}
		wide := names.width()
		if others+min(wide, minName) <= room || len(columns) == 1 {
			names.cells = cutAll(names.cells, max(room-others, 1))
			names.title = cut(names.title, max(room-others, 1))
			return columns
		}
		last := 1
		for i := range columns[1:] {
			if columns[1+i].rank > columns[last].rank {
				last = 1 + i
			}
		}
		columns = append(columns[:last], columns[last+1:]...)
	}
}

func cutAll(cells []string, columns int) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = cut(c, columns)
	}
	return out
}
