// The mixture and its Fisher vectors on a GPU. kernels.py defines Real (float or double), LANES
// (the threads of a warp, which share a feature), and COMPONENTS and ROWS (how many components or
// features a thread keeps in its registers).
//
// x (N, T, D): local features; w (N, K, T): responsibilities, zero where a feature does not count,
// and such a feature is never read, whatever it holds. v = x - mean_k is formed in registers: there
// is no array of the size N T K D, and none of the size N T D but x and its gradient. One thread or
// one warp computes each sum, in a fixed order, so that results are reproducible bit for bit.

typedef long long Index;

__device__ double warp_sum(double value) {
    for (int distance = LANES / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffff, value, distance);
    return value;
}

// Responsibilities (Eq. 1) and log likelihoods (N, T). A warp per feature; shared memory holds K
// doubles for each. In double precision, since a log density may be the small difference of large
// ones; constant is log(weight_k) - 1/2 sum_d log(2 pi var_kd).
extern "C" __global__ void posterior(
        const Real* x, const bool* counts, const Real* mean, const Real* inverse_var,
        const double* constant, double negligible, int n, int t, int d, int k,
        Real* w, double* log_likelihood) {
    extern __shared__ double shared[];
    const Index feature = (Index)blockIdx.x * blockDim.y + threadIdx.y;
    if (feature >= (Index)n * t) return;
    const int lane = threadIdx.x;
    double* logit = shared + (Index)threadIdx.y * k;
    x += feature * d;
    w += feature / t * k * t + feature % t;
    if (!counts[feature]) {
        for (int j = lane; j < k; j += LANES) w[(Index)j * t] = 0;
        if (lane == 0) log_likelihood[feature] = 0;
        return;
    }
    double top = 0;
    for (int j = 0; j < k; ++j) {
        double distance = 0;
        for (int i = lane; i < d; i += LANES) {
            const double v = (double)x[i] - mean[(Index)j * d + i];
            distance += v * v * inverse_var[(Index)j * d + i];
        }
        const double value = constant[j] - .5 * warp_sum(distance);
        if (lane == j % LANES) logit[j] = value;        // the lane that reads it below
        top = j == 0 || value > top ? value : top;
    }
    double total = 0;
    for (int j = lane; j < k; j += LANES) {
        const double value = exp(logit[j] - top);
        logit[j] = value > negligible ? value : 0;
        total += logit[j];
    }
    total = warp_sum(total);
    for (int j = lane; j < k; j += LANES) w[(Index)j * t] = logit[j] / total;
    if (lane == 0) log_likelihood[feature] = top + log(total);
}

// s1 = sum_t w v and s2 = sum_t w v^2, each (N, K, D). A thread per image, dimension and
// COMPONENTS components.
extern "C" __global__ void sums(
        const Real* x, const Real* w, const Real* mean, int t, int d, int k, Real* s1, Real* s2) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= d) return;
    const int first = blockIdx.y * COMPONENTS;
    x += (Index)blockIdx.z * t * d + i;
    w += ((Index)blockIdx.z * k + first) * t;
    Real centre[COMPONENTS], a[COMPONENTS], b[COMPONENTS];
    for (int j = 0; j < COMPONENTS; ++j) {
        centre[j] = first + j < k ? mean[(Index)(first + j) * d + i] : 0;
        a[j] = b[j] = 0;
    }
    for (int row = 0; row < t; ++row) {
        const Real value = x[(Index)row * d];
        for (int j = 0; j < COMPONENTS; ++j) {
            const Real share = first + j < k ? w[(Index)j * t + row] : 0;
            if (share == 0) continue;
            const Real v = value - centre[j];
            a[j] += share * v;
            b[j] += share * v * v;
        }
    }
    for (int j = 0; j < COMPONENTS && first + j < k; ++j) {
        const Index at = ((Index)blockIdx.z * k + first + j) * d + i;
        s1[at] = a[j];
        s2[at] = b[j];
    }
}

// Gradient u (N, K, T) of the logits from those of the sums, gs0 (N, K), gs1 and gs2 (N, K, D):
// u = w (q - sum_k w q) with q = gs0 + sum_d gs1 v + gs2 v^2. A warp per feature, as above.
extern "C" __global__ void posterior_vjp(
        const Real* x, const Real* w, const Real* mean, const Real* gs0, const Real* gs1,
        const Real* gs2, int n, int t, int d, int k, Real* u) {
    extern __shared__ double shared[];
    const Index feature = (Index)blockIdx.x * blockDim.y + threadIdx.y;
    if (feature >= (Index)n * t) return;
    const int lane = threadIdx.x;
    const Index image = feature / t;
    double* q = shared + (Index)threadIdx.y * k;
    x += feature * d;
    w += image * k * t + feature % t;
    u += image * k * t + feature % t;
    gs0 += image * k;
    gs1 += image * k * d;
    gs2 += image * k * d;
    double expected = 0;
    for (int j = 0; j < k; ++j) {
        const Real share = w[(Index)j * t];
        double sum = 0;
        if (share != 0) {                               // the same for all lanes
            for (int i = lane; i < d; i += LANES) {
                const Index at = (Index)j * d + i;
                const Real v = x[i] - mean[at];
                sum += v * (gs1[at] + gs2[at] * v);
            }
            sum = warp_sum(sum) + gs0[j];
            expected += share * sum;
        }
        if (lane == j % LANES) q[j] = sum;
    }
    for (int j = lane; j < k; j += LANES)
        u[(Index)j * t] = w[(Index)j * t] * (q[j] - expected);
}

// gx = sum_k w (gs1 + 2 gs2 v) - u v / var. A thread per image, dimension and ROWS features.
extern "C" __global__ void features_vjp(
        const Real* x, const Real* w, const Real* u, const Real* mean, const Real* inverse_var,
        const Real* gs1, const Real* gs2, int t, int d, int k, Real* gx) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= d) return;
    const int first = blockIdx.y * ROWS;
    x += ((Index)blockIdx.z * t + first) * d + i;
    gx += ((Index)blockIdx.z * t + first) * d + i;
    w += (Index)blockIdx.z * k * t + first;
    u += (Index)blockIdx.z * k * t + first;
    gs1 += (Index)blockIdx.z * k * d + i;
    gs2 += (Index)blockIdx.z * k * d + i;
    Real value[ROWS], gradient[ROWS];
    for (int row = 0; row < ROWS; ++row) {
        value[row] = first + row < t ? x[(Index)row * d] : 0;
        gradient[row] = 0;
    }
    for (int j = 0; j < k; ++j) {
        const Index at = (Index)j * d;
        const Real centre = mean[at + i], precision = inverse_var[at + i];
        const Real linear = gs1[at], square = 2 * gs2[at];
        for (int row = 0; row < ROWS; ++row) {
            const Real share = first + row < t ? w[(Index)j * t + row] : 0;
            if (share == 0) continue;
            const Real v = value[row] - centre;
            gradient[row] += share * (linear + square * v) - u[(Index)j * t + row] * v * precision;
        }
    }
    for (int row = 0; row < ROWS && first + row < t; ++row) gx[(Index)row * d] = gradient[row];
}
