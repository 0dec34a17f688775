package s3

// UseSum makes the bucket send another checksum than CRC32C.
func (b *Bucket) UseSum(name string) {
	for a := crc32cSum; a <= md5Sum; a++ {
		if a.String() == name {
			b.sums.Store(int32(a))
		}
	}
}

// SumInUse is the name of the checksum that goes with bytes.
func (b *Bucket) SumInUse() string { return b.algorithm().String() }
