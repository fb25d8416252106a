package operator

import "github.com/weirstream/weir/source"

// SplitState is the name of the list state that holds a source's splits.
const SplitState = splitState

// DecodeSplit reads one element of SplitState for those who look at a snapshot without its program.
func DecodeSplit(element []byte) (source.Split, error) {
	split, _, err := decodeSplit(element)
	return split, err
}
