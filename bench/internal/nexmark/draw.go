package nexmark

// Constants of the random numbers. Every number is a function of the seed, the event id and the index of the draw.
const (
	golden  = 0x9E3779B97F4A7C15
	perID   = 0xD1342543DE82EF95
	lowHalf = 1<<32 - 1
)

// mix64 is a bijection of the 64-bit numbers that spreads every bit of z over the result.
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// pair returns the draws 2i and 2i+1 of an event whose stream starts at s: 32 bits each.
func pair(s uint64, i uint64) (even, odd uint64) {
	r := mix64(s + (i+1)*golden)
	return r >> 32, r & lowHalf
}

// below scales a 32-bit draw to 0 .. n-1, for n below 2^31.
func below(draw, n uint64) uint64 { return draw * n >> 32 }

// priceSteps[i] is round(100000 * 10^(i/64)): one decade of prices, cut into 64 pieces that are joined by straight lines.
var priceSteps = [65]uint64{
	100000, 103663, 107461, 111397, 115478, 119709, 124094, 128640, 133352, 138237, 143301, 148551, 153993,
	159634, 165482, 171544, 177828, 184342, 191095, 198096, 205353, 212875, 220673, 228757, 237137, 245824,
	254830, 264165, 273842, 283874, 294273, 305053, 316228, 327812, 339821, 352269, 365174, 378552, 392419,
	406794, 421697, 437144, 453158, 469759, 486968, 504807, 523299, 542469, 562341, 582942, 604296, 626434,
	649382, 673170, 697831, 723394, 749894, 777365, 805842, 835363, 865964, 897687, 930572, 964662, 1000000,
}

// decades has 8 entries, although a draw gives only 0 .. 5, so that a masked index needs no bounds check.
var decades = [8]uint64{1, 10, 100, 1000, 10_000, 100_000}

// price maps a draw to 100 .. 99,999,900, log-uniform, in integers only so that every language computes the same.
func price(draw uint64) int64 {
	t := draw * 6
	f := t & lowHalf
	i, g := f>>26, f&(1<<26-1)
	m := priceSteps[i] + (priceSteps[i+1]-priceSteps[i])*g>>26
	return int64(m * decades[t>>32&7] / 1000)
}
