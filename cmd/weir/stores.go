package main

// The stores and the state backend that weir knows: all there are. A job imports those it uses.
import (
	_ "github.com/weirstream/weir/state/pebble"
	_ "github.com/weirstream/weir/storage/azure"
	_ "github.com/weirstream/weir/storage/gcs"
	_ "github.com/weirstream/weir/storage/hdfs"
	_ "github.com/weirstream/weir/storage/s3"
)
