package main

// workloads are all there are, in the order in which they run.
func workloads() []workload {
	return []workload{
		writeOne(),
		writeFour(),
		writeSmall(),
		writeMemory(),
		writeTree(),
		writeMux(),
		editMiddle(),
		editAppend(),
		readOne(),
		readFirst(),
		readRandomLarge(),
		readRandomSmall(),
		readScrub(),
		readInterleaved(),
		readAgain(),
		readMany(),
		readFrame(),
		readList(),
		writeResync(),
		statStorm(),
		renameDir(),
	}
}
