package load

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Player says how somebody scrubs: jump to a random place, play a while, jump
// again.
type Player struct {
	Rate    float64       // bytes a second
	Play    time.Duration // after each jump
	Preroll time.Duration // from the jump until the first frame is due
	Ahead   int           // blocks that are read before they are due
	Total   time.Duration // after it no more jumps
}

// Scrubbed is what the watchers of all players saw.
type Scrubbed struct {
	Reads int             // of one block each
	Late  int             // reads that ended after their block was due
	Stall time.Duration   // that all pictures together stood still
	Seeks []time.Duration // from each jump until its first block, sorted
}

// Scrub plays every file at once, each with jumps of its own, within the first
// size bytes.
func (p Player) Scrub(files []io.ReaderAt, size int64, seed uint64) (Scrubbed, error) {
	results := make([]Scrubbed, len(files))
	var group errgroup.Group
	for i, f := range files {
		group.Go(func() error { return p.watch(f, size, rand.New(rand.NewPCG(seed, uint64(i))), &results[i]) })
	}
	if err := group.Wait(); err != nil {
		return Scrubbed{}, err
	}
	var sum Scrubbed
	for _, r := range results {
		sum.Reads += r.Reads
		sum.Late += r.Late
		sum.Stall += r.Stall
		sum.Seeks = append(sum.Seeks, r.Seeks...)
	}
	slices.Sort(sum.Seeks)
	return sum, nil
}

// watch is one player.
func (p Player) watch(f io.ReaderAt, size int64, places *rand.Rand, out *Scrubbed) error {
	period := time.Duration(Block / p.Rate * float64(time.Second))
	blocks := max(1, int64(p.Play/period))
	if size <= blocks*Block {
		return fmt.Errorf("a file of %d bytes is too short to play %v", size, p.Play)
	}
	buf := make([]byte, Block)
	for end := time.Now().Add(p.Total); time.Now().Before(end); {
		start := places.Int64N(size/Block-blocks) * Block
		jump := time.Now()
		due := jump.Add(p.Preroll) // of the block that is read now; a stall moves it and all after it
		for i := range blocks {
			time.Sleep(time.Until(due.Add(-time.Duration(p.Ahead) * period)))
			if err := full(f, buf, start+i*Block); err != nil {
				return err
			}
			now := time.Now()
			out.Reads++
			if i == 0 {
				out.Seeks = append(out.Seeks, now.Sub(jump))
			}
			if late := now.Sub(due); late > 0 {
				out.Late++
				out.Stall += late
				due = now
			}
			due = due.Add(period)
		}
		time.Sleep(time.Until(due))
	}
	return nil
}
