wasm:
	cargo build --profile wasm --target wasm32-wasip1 -p fingerpost-filter
