package nexmark

import (
	"math/bits"
	"strconv"
	"strings"
	"sync"
)

const (
	extraPadLen  = 1 << 20
	wordPadLen   = 1 << 16
	coldChannels = 10_000
	channelCount = coldChannels + 4
)

// text holds the strings that all bids share. A bid's strings are pieces of these, so making one allocates nothing.
type text struct {
	extra    string
	channels [channelCount]channel
}

type channel struct{ name, url string }

// sharedText builds the tables once per process, on first use (a few ms): narrow bids have no strings and never need them.
var sharedText = sync.OnceValue(func() *text {
	t := &text{extra: extraPad()}
	words := wordPad()
	for c := range t.channels {
		t.channels[c] = makeChannel(words, uint64(c))
	}
	return t
})

func extraPad() string {
	pad := make([]byte, extraPadLen)
	for j := range uint64(extraPadLen / 8) {
		r := mix64(0x5EED + (j+1)*golden)
		for b := range uint64(8) {
			pad[8*j+b] = byte('a' + (r>>(8*b)&0xFF)*26>>8)
		}
	}
	return string(pad)
}

func wordPad() string {
	pad := make([]byte, wordPadLen)
	for j := range uint64(wordPadLen / 4) {
		r := mix64(0x3040 + (j+1)*golden)
		for b := range uint64(4) {
			pad[4*j+b] = wordLetter((r >> (16 * b) & 0xFFFF) * 338 >> 16)
		}
	}
	return string(pad)
}

func wordLetter(w uint64) byte {
	if w < 26 {
		return ' '
	}
	return byte('a' + w%26)
}

func makeChannel(words string, c uint64) channel {
	s := mix64(0xC4A2 + c*golden)
	var url strings.Builder
	url.WriteString("https://www.nexmark.com/")
	for p := range uint64(3) {
		size, start := pair(s, p)
		n, at := 3+below(size, 2), below(start, wordPadLen-4)
		url.WriteString(strings.ReplaceAll(words[at:at+n], " ", "_"))
		url.WriteByte('/')
	}
	url.WriteString("item.htm?query=1")
	if c >= coldChannels {
		return channel{[4]string{"Google", "Facebook", "Baidu", "Apple"}[c-coldChannels], url.String()}
	}
	if withID, _ := pair(s, 3); below(withID, 10) > 0 {
		id := int64(int32(bits.Reverse32(uint32(c))))
		url.WriteString("&channel_id=")
		url.WriteString(strconv.FormatInt(max(id, -id), 10))
	}
	return channel{"channel-" + strconv.FormatUint(c, 10), url.String()}
}
