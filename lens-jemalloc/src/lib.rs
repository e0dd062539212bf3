//! What jemalloc tells about the heap.
