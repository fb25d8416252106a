// Gendoc writes the reference page of the configuration from the declarations of the options.
package main

import (
	"flag"
	"log"
	"os"

	"github.com/weirstream/weir/internal/cluster/config"
)

func main() {
	out := flag.String("o", "docs/reference/config.md", "the `file` to write")
	flag.Parse()
	if err := os.WriteFile(*out, []byte(config.Reference()), 0o644); err != nil {
		log.Fatal(err)
	}
}
