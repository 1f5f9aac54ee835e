#!/bin/sh
# Trains a bundle as the one that comes with the product was trained: `sh tools/train_default.sh FOLDER SOURCE...`
#
# FOLDER takes the data set, the trainings and, as FOLDER/bundle, what they come to; run again, it goes on where it stopped. What a
# machine can afford is said with WIDTH, TOKENIZER_STEPS, LANGUAGE_STEPS, BATCH (windows of the tokenizer; the language model takes
# a quarter) and MINUTES (of each of the two). BEGIN names a bundle whose weights those start from, OUT where the new one goes, NAME
# what it is called (as FOLDER is), ATTRIBUTION what the licences of the data ask to be said. PYTHON is the interpreter of the
# backend's environment (.venv-backend, where that is there). With OUT=backend/bundles/default it is the bundle that comes with the product.
set -eu
folder=$1
shift
for source; do sources="${sources:-} --source $source"; done
limit=${MINUTES:+--minutes $MINUTES}
begin=${BEGIN:+--begin $BEGIN}
batch=${BATCH:-256}
out=${OUT:-$folder/bundle}
python=${PYTHON:-$([ -x .venv-backend/bin/python ] && echo .venv-backend/bin/python || echo python)}
name=${NAME:-$(basename "$folder")}
attribution=${ATTRIBUTION:-}
if [ "$out" = backend/bundles/default ]; then
    name=default
    attribution="The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF \
EIA-0196217. This data uses the 100STYLE dataset by Ian Mason, Sebastian Starke and Taku Komura, published on Zenodo under CC BY 4.0; \
changes: 6 of 100 styles, retargeted to 22 joints at 20 fps, cut into windows, captions added. Captions: HumanML3D and KIT-ML (MIT) and \
the project's own."
fi

# Batches differ in length, and so does what they need of the memory: kept instead of given back, it need not be cleared each time.
export MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=268435456

[ -f "$folder/data/dataset.json" ] || "$python" -m backend data build $sources --out "$folder/data"
"$python" -m backend train tokenizer --data "$folder/data" --out "$folder/tokenizer" $limit $begin \
    --set network.width="${WIDTH:-320}" --set network.code_dim=256 --set network.levels=12 \
    --set weights.path=1 --set long_share=0.5 --set retimed_share=0.5 \
    --set all_levels_share=0.8 --set described_share=0.5 \
    --set batch="$batch" --set steps="${TOKENIZER_STEPS:-20000}" --set rate=4e-4 --set warmup=200 \
    --set continuous_steps="$([ -n "$begin" ] && echo 0 || echo 1000)" --set evaluate_every=1000
"$python" -m backend train language --data "$folder/data" --tokenizer "$folder/tokenizer" --out "$folder/language" $limit $begin \
    --set batch="$((batch / 4))" --set steps="${LANGUAGE_STEPS:-4000}" --set rate=8e-4 --set warmup=60 \
    --set finer_weight=0.1 --set described_share=0.6 --set evaluate_every=250
"$python" -m backend bundle pack --data "$folder/data" --tokenizer "$folder/tokenizer" --language "$folder/language" \
    --out "$out" --name "$name" --attribution "$attribution"
rm -rf "$folder/ranker"  # it takes minutes, and one of an earlier language model is of no use
"$python" -m backend train ranker --data "$folder/data" --bundle "$out" --out "$folder/ranker"
